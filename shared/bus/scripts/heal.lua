-- HEAL a lane whose token is in no queue, or which has mail and no token.  ARGV: stage lane -> 1 when it was ill
local stage, lane = ARGV[1], ARGV[2]
local token, last, position = unpack(call('HMGET', book(stage, lane), 'token', 'last', 'position'))
token = token or ''
if token ~= '' then
  local entry, replica = parts(token)
  if #call('XRANGE', ready(stage, replica), entry, entry) > 0 then return 0 end
elseif tonumber(last or 0) <= tonumber(position or 0) then
  return 0
end
renew(stage, lane)
return 1
