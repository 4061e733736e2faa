-- COMMIT ends a turn.
-- ARGV: stage lane token turn | version before, version, state, position, replica, seconds to live, oldest row, n rows
--       | n x (number sealed seam body) | messages
-- -> 1, or 0 when fenced: the turn was taken away and nothing has been written. A row must be the log's next.
local stage, lane, token, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[12])
if not holds(stage, lane, token, ARGV[4], ARGV[5]) then return 0 end
local number, _, seams = unpack(last_row(lane))
for i = 13, 12 + 4 * count, 4 do
  number = number + 1
  if tonumber(ARGV[i]) ~= number then
    return redis.error_reply('ROW ' .. ARGV[i] .. ' where the log goes on with ' .. number)
  end
end
for i = 13, 12 + 4 * count, 4 do
  seams = seams + tonumber(ARGV[i + 2])
  call('XADD', rows(lane), (ARGV[i] + 1) .. '-0', 'sealed', ARGV[i + 1], 'seams', seams, 'body', ARGV[i + 3])
end
call('HSET', book(stage, lane), 'version', ARGV[6], 'state', ARGV[7], 'owner', ARGV[9])
if tonumber(ARGV[11]) > 0 then
  call('XTRIM', rows(lane), 'MINID', string.format('%d-0', ARGV[11] + 1))
end
deliver(13 + 4 * count, stage, lane)
finish(stage, lane, token, ARGV[8])
expire(stage, lane, ARGV[10])
return 1
