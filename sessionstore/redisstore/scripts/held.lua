-- Returns sessions that a node counts connections of. ARGV: 1 the node, 2 how many about, 3 "dead": none if the node lives. A node that has none is forgotten.
local node, most, dead = ARGV[1], tonumber(ARGV[2]), ARGV[3] == 'dead'
if dead and tonumber(call('ZSCORE', NODES, node) or 0) > now then return {} end
local cursor, ids = '0', {}
repeat
	local some = call('HSCAN', HELD, cursor, 'COUNT', most)
	cursor = some[1]
	for i = 1, #some[2], 2 do ids[#ids + 1] = some[2][i] end
until cursor == '0' or #ids > 0
if #ids == 0 then call('ZREM', NODES, node) end
return ids
