-- Removes sessions. ARGV: 1 "f" those that are revoked, "e" those that are abandoned. Then the ids. Returns the fields of the abandoned that it has removed.
local forget = ARGV[1] == 'f'
local ended = {}
for i = FIXED + 1, #KEYS do
	local key, id = KEYS[i], ARGV[1 + i - FIXED]
	local t = load(key)
	if forget and (not t or t.x ~= '') then
		call('DEL', key)
		call('ZREM', REVOKED, id)
		call('ZREM', REPLAYED, id)
	elseif not forget and (not t or t.abandoned) and call('ZREM', ABANDONED, id) == 1 then
		call('DEL', key)
		call('ZREM', LIVE, id)
		if t then ended[#ended + 1] = fields(id, t) end -- else it has expired, and nobody knows more
	end
end
return ended
