-- What the scripts share. Times are microseconds since 1970 and fit the 53 bits of a Lua number until the year 2255.
--
-- KEYS: 1 the number of the newest revocation. 2 a sorted set of the sessions that aren't revoked, all of score 0: in the order of their ids. 3 those
-- without a connection, by the time since when. 4 the revoked, by number. 5 those that a replay has revoked, by the same number. 6 a hash: user = connections.
-- 7 the nodes, by the time until which they live. 8 a hash of a node: session = "connections|user". 9 a hash, see due.lua. Then the hashes of sessions, with the fields
-- u user, g generation, r when that last rose, d when its token was first used, c created, s when the last connection left, p the place, n connections,
-- x why it was revoked: "" it wasn't, "r", or "p" by a replay.
local call, format, match = redis.call, string.format, string.match
local NEWEST, LIVE, ABANDONED, REVOKED, REPLAYED, USERS, NODES, HELD, LONGEST = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local FIXED = 9

local function text(n) return format('%.0f', n) end

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- load reads a session, nil if there is none.
local function load(key)
	local v = call('HMGET', key, 'u', 'g', 'r', 'd', 'c', 's', 'p', 'n', 'x')
	if not v[5] then return nil end
	local t = {u = v[1], g = tonumber(v[2]), r = tonumber(v[3]), d = tonumber(v[4]), c = tonumber(v[5]), s = tonumber(v[6]), p = v[7], n = tonumber(v[8]), x = v[9]}
	t.abandoned = t.x == '' and t.n <= 0
	return t
end

-- new makes a session that isn't stored yet.
local function new(user, generation, place, created)
	return {u = user, g = generation, r = 0, d = 0, c = created, s = now, p = place, n = 0, x = '', fresh = true}
end

local function save(key, id, t, keep)
	call('HSET', key, 'u', t.u, 'g', text(t.g), 'r', text(t.r), 'd', text(t.d), 'c', text(t.c), 's', text(t.s), 'p', t.p, 'n', text(t.n), 'x', t.x)
	call('PEXPIRE', key, keep)
	if t.fresh and t.x == '' then call('ZADD', LIVE, 0, id) end
	if t.x == '' and t.n <= 0 then
		call('ZADD', ABANDONED, text(t.s), id)
	elseif t.fresh or t.abandoned then
		call('ZREM', ABANDONED, id)
	end
end

-- touch lets the other keys live for as long as those of the sessions.
local function touch(keep)
	for i = 1, FIXED do call('PEXPIRE', KEYS[i], keep) end
end

-- held returns how many connections of a session the node counts, and whose they are.
local function held(id)
	local v = call('HGET', HELD, id)
	if not v then return 0, '' end
	local n, user = match(v, '^(%d+)|(.*)$')
	return tonumber(n), user
end

-- count adds to the connections that the node counts, and to those of the user.
local function count(id, user, n)
	local had, whose = held(id)
	if had > 0 then user = whose end
	if had + n > 0 then
		call('HSET', HELD, id, text(had + n) .. '|' .. user)
	elseif had > 0 then
		call('HDEL', HELD, id)
	end
	if user ~= '' and call('HINCRBY', USERS, user, n) <= 0 then call('HDEL', USERS, user) end
end

-- leave takes some of a session's connections back in its record.
local function leave(t, n)
	t.n = t.n - n
	if t.n <= 0 then
		t.n = 0
		if t.x == '' then t.s = now end
	end
end

-- revoke marks a session and numbers it. The caller saves it.
local function revoke(id, t, cause)
	t.x, t.s = cause, now
	local n = text(math.max(tonumber(call('GET', NEWEST) or 0) + 1, now))
	call('SET', NEWEST, n)
	call('ZADD', REVOKED, n, id)
	if cause == 'p' then call('ZADD', REPLAYED, n, id) end
	call('ZREM', LIVE, id)
	call('ZREM', ABANDONED, id)
end

-- parse reads the text of a cursor: its epoch, and a table of the offset of each partition.
local function parse(cursor)
	local epoch, offsets = nil, {}
	for part in string.gmatch(cursor, '[^.]+') do
		if not epoch then
			epoch = part
		else
			local partition, offset = match(part, '^(%w+)%-(%w+)$')
			offsets[partition or '0'] = tonumber(offset or part, 36) or 0
		end
	end
	return epoch, offsets
end

-- older tells whether a place is before another one. One that can't be compared, being of another log, replaces what was there.
local function older(cursor, than)
	local epoch, offsets = parse(cursor)
	local other, reached = parse(than)
	if epoch ~= other then return true end
	for partition, offset in pairs(reached) do
		if offset > (offsets[partition] or 0) then return true end
	end
	return false
end

-- fields are what is told of a session.
local function fields(id, t)
	local seen = t.s
	if t.n > 0 then seen = now end
	return {id, t.u, text(t.n), text(t.c), text(seen), t.p}
end
