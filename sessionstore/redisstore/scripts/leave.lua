-- Takes connections back. ARGV: 1 how many milliseconds keys are kept. Then for each of the sessions in KEYS: id, and the place that it has proved.
local keep = ARGV[1]
for i = FIXED + 1, #KEYS do
	local key, a = KEYS[i], 1 + (i - FIXED - 1) * 2
	local id, cursor = ARGV[a + 1], ARGV[a + 2]
	local t, has = load(key), held(id)
	if t and cursor ~= '' and (t.n <= 1 or older(cursor, t.p)) then t.p = cursor end
	if has > 0 then
		count(id, '', -1)
		if t then leave(t, 1) end
	end
	if t then save(key, id, t, keep) else call('ZREM', LIVE, id) end -- or its hash has expired
end
touch(keep)
return {}
