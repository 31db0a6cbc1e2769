-- Sets what a node has of some sessions. ARGV: 1 the node, 2 how many milliseconds keys are kept, 3 for how many microseconds the node lives from now on; "0": its time
-- stays; "dead": do nothing if it lives; "": it is to end. Then for each of the sessions in KEYS: id, connections, user, generation, cursor, and when it was created, 0 for now.
local node, keep, mode = ARGV[1], ARGV[2], ARGV[3]
if mode == 'dead' then
	if tonumber(call('ZSCORE', NODES, node) or 0) > now then return {} end
elseif mode == '0' then
	call('ZADD', NODES, 'NX', 0, node) -- one that isn't known is dead: the next sweep takes away what it counts
elseif mode ~= '' then
	call('ZADD', NODES, text(now + tonumber(mode)), node)
end
for i = FIXED + 1, #KEYS do
	local key, a = KEYS[i], 3 + (i - FIXED - 1) * 6
	local id, wanted, user, generation, cursor, created = ARGV[a + 1], tonumber(ARGV[a + 2]), ARGV[a + 3], tonumber(ARGV[a + 4]), ARGV[a + 5], tonumber(ARGV[a + 6])
	local t, has = load(key), held(id)
	if not t and wanted > 0 then
		if created <= 0 then created = now end
		t = new(user, generation, cursor, created)
	end
	if t and t.x ~= '' then wanted = 0 end
	if t and (wanted ~= has or generation > t.g) then
		if has ~= wanted then leave(t, has) end
		if has ~= wanted then t.n = t.n + wanted end
		if wanted > 0 and generation > t.g then t.g, t.r, t.d = generation, 0, 0 end
		save(key, id, t, keep)
	end
	if not t then call('ZREM', LIVE, id) end -- its hash has expired
	if wanted ~= has then count(id, t and t.u or '', wanted - has) end
end
touch(keep)
return {}
