-- CLAIM a URL for a stream.  ARGV: digest, stream, the stream that it may replace ('' none) -> the stream that has it now
local key = T .. ':url:' .. ARGV[1]
local owner = call('GET', key) or ''
if owner ~= '' and owner ~= ARGV[3] then return owner end
call('SET', key, ARGV[2], 'EX', 7 * 86400)
return ARGV[2]
