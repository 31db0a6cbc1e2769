-- Reads sessions. ARGV: their ids. Returns the fields of those that are there and not revoked.
local found = {}
for i = FIXED + 1, #KEYS do
	local id = ARGV[i - FIXED]
	local t = load(KEYS[i])
	if t and t.x == '' then found[#found + 1] = fields(id, t) end
end
return found
