-- EMIT commits what a source has so far and keeps its turn.
-- ARGV: stage lane token turn | version before, version, state | known record, window ms, seconds to live, n
--       | n x (ms pcm) | messages
-- -> false when fenced, or { newest mail, sealed, record }. Repeating the same call changes nothing.
local stage, lane, token, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[11])
local key, messages = book(stage, lane), 12 + 2 * count
if not holds(stage, lane, token, ARGV[4], ARGV[6]) then
  if not holds(stage, lane, token, ARGV[4], ARGV[5]) then return false end
  local newest = call('XREVRANGE', ring(lane), '+', '-', 'COUNT', 1)[1]
  if newest and count > 0 and tonumber(ARGV[12]) <= tonumber(string.match(newest[1], '^%d+')) then
    return redis.error_reply('RING ' .. ARGV[12] .. ' ms is not after ' .. newest[1])
  end
  call('HSET', key, 'version', ARGV[6], 'state', ARGV[7], 'attempts', 0)
  for i = 12, messages - 1, 2 do call('XADD', ring(lane), ARGV[i] .. '-0', 'pcm', ARGV[i + 1]) end
  if count > 0 then
    local oldest = math.max(0, tonumber(ARGV[messages - 2]) - tonumber(ARGV[9]))
    call('XTRIM', ring(lane), 'MINID', '~', string.format('%d-0', oldest))
  end
  deliver(messages, stage, lane)
  expire(stage, lane, ARGV[10])
  call('EXPIRE', record(lane), 7 * 86400)
end
return { tonumber(call('HGET', key, 'last')), last_row(lane)[2], changed(lane, ARGV[8]) }
