-- POST from outside the turns: write the record and deliver messages, both or nothing.
-- ARGV: stream, sender | expected record version ('' none yet, '*' any), new version, record | messages
-- -> { 1 done or 0 conflict, version now }. Repeating the same call changes nothing.
local name, key, expected = ARGV[1], record(ARGV[1]), ARGV[3]
local version = call('HGET', key, 'version') or ''
if version == ARGV[4] then return { 1, version } end
if expected ~= '*' and expected ~= version then return { 0, version } end
call('HSET', key, 'version', ARGV[4], 'body', ARGV[5])
call('EXPIRE', key, 7 * 86400)
call('HSET', T .. ':streams', name, NOW)
deliver(6, ARGV[2], name)
return { 1, ARGV[4] }
