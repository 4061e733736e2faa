-- Put in front of every other script. KEYS[1] is the shard tag T, such as {p0}: every key starts with it, so that all
-- keys of a stream share one hash slot and one script can change them together.
local T, call = KEYS[1], redis.call
local TIME = call('TIME')
local NOW = TIME[1] * 1000 + math.floor(TIME[2] / 1000)
local EVENTS = 4000

local function stream(lane) return string.match(lane, '^[^~]+') end
local function mailbox(stage, lane) return T .. ':mb:' .. stage .. ':' .. lane end
local function book(stage, lane) return T .. ':st:' .. stage .. ':' .. lane end
local function living(stage) return T .. ':live:' .. stage end
local function record(lane) return T .. ':g:' .. stream(lane) end
local function ring(lane) return T .. ':pcm:' .. stream(lane) end
local function rows(lane) return T .. ':log:' .. stream(lane) end
local function events(lane) return T .. ':ev:' .. stream(lane) end
local function want(lane) return T .. ':want:' .. stream(lane) end

-- A token is an entry of a ready queue, written <entry>@<replica>; the queue shared by all replicas has the name ''.
local function ready(stage, replica)
  return T .. ':rdy:' .. stage .. (replica == '' and '' or '@' .. replica)
end
local function parts(token) return string.match(token, '^([%d-]+)@(.*)$') end

-- Give a lane its token, unless it has one. It goes to the replica that is warm for the lane if that one is alive and
-- not behind, else to all.
local function schedule(stage, lane)
  local token, owner = unpack(call('HMGET', book(stage, lane), 'token', 'owner'))
  if (token or '') ~= '' then return end
  owner = owner or ''
  if owner ~= '' then
    local until_, slots = unpack(call('HMGET', living(stage), owner, owner .. '#slots'))
    local well = until_ and tonumber(until_) > NOW and call('XLEN', ready(stage, owner)) < tonumber(slots)
    if not well then owner = '' end
  end
  local entry = call('XADD', ready(stage, owner), '*', '__data__', lane)
  call('HSET', book(stage, lane), 'token', entry .. '@' .. owner)
end

local function discard(stage, token)
  local entry, replica = parts(token)
  call('XACK', ready(stage, replica), stage, entry)
  call('XDEL', ready(stage, replica), entry)
end

-- Which replica has taken the token from its queue and not finished it; nil when nobody has.
local function holder(stage, token)
  local entry, replica = parts(token)
  local pending = redis.pcall('XPENDING', ready(stage, replica), stage, entry, entry, 1)
  if pending.err or #pending == 0 then return nil end
  return pending[1][2]
end

-- The fence: the token is valid, this turn is the last that began with it and, for a commit, the state is still the one
-- that the turn knows. All three are nonces, so a Redis that came back without its last second lets nothing pass.
local function holds(stage, lane, token, turn, version)
  local now = call('HMGET', book(stage, lane), 'token', 'turn', 'version')
  return now[1] == token and now[2] == turn and (not version or (now[3] or '') == version)
end

-- A replica that lives has lost its turn to another, as it was too slow: the message has not ended its process, so that
-- attempt does not count. Not for ever: a message that keeps every replica busy for too long must be put aside too.
local FORGIVEN = 30
local function forgive(stage, lane)
  local key = book(stage, lane)
  if tonumber(call('HGET', key, 'attempts') or 0) > 0 and call('HINCRBY', key, 'forgiven', 1) <= FORGIVEN then
    call('HINCRBY', key, 'attempts', -1)
  end
end

-- Give a lane a new token in place of the one it has, open to all replicas.
local function renew(stage, lane)
  call('HSET', book(stage, lane), 'token', '', 'turn', '', 'owner', '')
  schedule(stage, lane)
end

-- Make a token void and give its lane a new one, open to all replicas.
local function reissue(stage, token)
  local entry, replica = parts(token)
  local found = call('XRANGE', ready(stage, replica), entry, entry)
  discard(stage, token)
  if #found == 0 then return 0 end
  local lane = found[1][2][2]
  if call('HGET', book(stage, lane), 'token') ~= token then return 0 end
  renew(stage, lane)
  return 1
end

-- Deliver the messages ARGV[first..]: type, body, number of receivers, then stage and lane of each. Every message is an
-- event of its sender besides.
local function deliver(first, sender, lane)
  local i = first
  while i <= #ARGV do
    local kind, body, receivers = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
    call('XADD', events(lane), 'MAXLEN', '~', EVENTS, '*',
      'stage', sender, 'lane', lane, 'type', kind, 'at', NOW, 'body', body)
    for r = i + 3, i + 2 + 2 * receivers, 2 do
      local stage, to = ARGV[r], ARGV[r + 1]
      local number = call('HINCRBY', book(stage, to), 'last', 1)
      call('XADD', mailbox(stage, to), number .. '-0', 'type', kind, 'at', NOW, 'body', body)
      schedule(stage, to)
    end
    i = i + 3 + 2 * receivers
  end
end

-- End a turn: mail up to position is done. A lane with mail left gets its next token at the tail, which is fair.
local function finish(stage, lane, token, position)
  local key = book(stage, lane)
  call('HSET', key, 'position', position, 'attempts', 0, 'forgiven', 0, 'token', '', 'turn', '')
  discard(stage, token)
  call('XTRIM', mailbox(stage, lane), 'MINID', string.format('%d-0', position + 1))
  if tonumber(call('HGET', key, 'last')) > tonumber(position) then schedule(stage, lane) end
end

-- The stream record, or false when the caller has this version.
local function changed(lane, known)
  local version, body = unpack(call('HMGET', record(lane), 'version', 'body'))
  version = version or ''
  return { version, version ~= known and body or false }
end

-- The last row of the sealed log as { number, sealed, seams }; number -1 when there is none.
local function last_row(lane)
  local found = call('XREVRANGE', rows(lane), '+', '-', 'COUNT', 1)[1]
  if not found then return { -1, '0', 0 } end
  return { tonumber(string.match(found[1], '^%d+')) - 1, found[2][2], tonumber(found[2][4]) }
end

-- Nothing that a stream leaves in Redis outlives it for long; its sound, which is most of it, goes first.
local function expire(stage, lane, seconds)
  for _, key in ipairs({ book(stage, lane), mailbox(stage, lane), rows(lane), events(lane), want(lane) }) do
    call('EXPIRE', key, seconds)
  end
  call('EXPIRE', ring(lane), tonumber(seconds) < 86400 and 60 or seconds)
end
