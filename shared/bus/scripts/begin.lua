-- BEGIN a turn.  ARGV: stage lane token replica turn batch | known state version, known record version, wanted ms
-- -> false (token is void) or { attempt, lag ms, position, last, version, state or false, record, mail, newest body or
-- false, languages wanted }
local stage, lane, token, turn = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
local key = book(stage, lane)
if call('HGET', key, 'token') ~= token then discard(stage, token) return false end
if holder(stage, token) ~= ARGV[4] then return false end
call('HSET', key, 'turn', turn)
local attempt = call('HINCRBY', key, 'attempts', 1)
local position, last, tried, version, state =
  unpack(call('HMGET', key, 'position', 'last', 'tried', 'version', 'state'))
position, last, tried, version = tonumber(position or 0), tonumber(last or 0), tonumber(tried or 0), version or ''
-- After a failed batch: one message a turn until the batch is passed, so that the one that kills is found.
local batch = tonumber(ARGV[6])
if attempt > 1 or position < tried then batch = 1 end
local mail = call('XRANGE', mailbox(stage, lane), (position + 1) .. '-0', '+', 'COUNT', batch)
if batch > 1 then call('HSET', key, 'tried', position + #mail) end
local lag = #mail > 0 and NOW - tonumber(mail[1][2][4]) or 0
local newest = false
if last - position > #mail and #mail > 0 then
  newest = call('XREVRANGE', mailbox(stage, lane), '+', '-', 'COUNT', 1)[1][2][6]
end
if version == ARGV[7] then state = false end
local wanted, fetches = {}, call('HGETALL', want(lane))
for i = 1, #fetches, 2 do
  if tonumber(fetches[i + 1]) > NOW - tonumber(ARGV[9]) then table.insert(wanted, fetches[i]) end
end
return { attempt, lag, position, last, version, state or false, changed(lane, ARGV[8]), mail, newest, wanted }
