-- Decides on claims, as sessionstore.Record.Connect does. ARGV: 1 the node, 2 how many milliseconds keys are kept. Then for each of the sessions in KEYS: id, user,
-- "1" if it begins, generation, cursor, the grace in microseconds, the limits of a session and of a user, 0 for none.
-- Returns for each a list: what was decided ("ok", "r" revoked, "p" replayed, "t" too many), generation, cursor, created, connections.
local function accepts(t, generation, grace)
	return generation >= t.g or (generation + 1 == t.g and (t.d == 0 or now - t.d <= grace))
end

local function rotate(t, used, grace)
	if used < t.g then return end
	if used > t.g or now - t.r > grace then
		t.g, t.r, t.d = used + 1, now, 0
	elseif t.d == 0 then
		t.d = now
	end
end

local node, keep = ARGV[1], ARGV[2]
call('ZADD', NODES, 'NX', 0, node) -- one that isn't known is dead: the next sweep takes away what it counts
local outcomes = {}
for i = FIXED + 1, #KEYS do
	local key, a = KEYS[i], 2 + (i - FIXED - 1) * 8
	local id, user, fresh, generation, cursor, grace = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3] == '1', tonumber(ARGV[a + 4]), ARGV[a + 5], tonumber(ARGV[a + 6])
	local maxSession, maxUser = tonumber(ARGV[a + 7]), tonumber(ARGV[a + 8])
	local t = load(key) or new(user, generation, cursor, now)
	local decision = 'ok'
	if t.x ~= '' then
		decision = 'r'
	elseif not fresh and not accepts(t, generation, grace) then
		decision = 'p'
		revoke(id, t, 'p')
		save(key, id, t, keep)
	elseif (maxSession > 0 and t.n >= maxSession) or (maxUser > 0 and t.u ~= '' and tonumber(call('HGET', USERS, t.u) or 0) >= maxUser) then
		decision = 't'
	else
		if not fresh then rotate(t, generation, grace) end
		t.n = t.n + 1
		count(id, t.u, 1)
		save(key, id, t, keep)
	end
	outcomes[#outcomes + 1] = {decision, text(t.g), t.p, text(t.c), text(t.n)}
end
touch(keep)
return outcomes
