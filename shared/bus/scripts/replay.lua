-- REPLAY a dead letter as new mail of its lane.  ARGV: stage, id -> 1, or 0 when there is none
local stage, queue = ARGV[1], T .. ':dlq:' .. ARGV[1]
local found = call('XRANGE', queue, ARGV[2], ARGV[2])[1]
if not found then return 0 end
local letter = {}
for i = 1, #found[2], 2 do letter[found[2][i]] = found[2][i + 1] end
local number = call('HINCRBY', book(stage, letter.lane), 'last', 1)
call('XADD', mailbox(stage, letter.lane), number .. '-0', 'type', letter.type, 'at', NOW, 'body', letter.body)
schedule(stage, letter.lane)
call('XDEL', queue, ARGV[2])
return 1
