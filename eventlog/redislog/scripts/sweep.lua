-- Looks after topics that nobody appends to. KEYS: the log, the tail, its list, the topics' streams. ARGV: 1 the offset before which a topic that has nothing
-- left is forgotten, 2 the bytes of all topics that are too many, 3 how many of a topic's bytes to leave it then. Returns the bytes of all topics.
local got = call('HMGET', KEYS[1], 'g', 'f', 'e')
if not got[3] then return '0' end
local all, floor = tonumber(got[1] or 0), tonumber(got[2] or 0)
for i = 4, #KEYS do
	local name = sub(KEYS[i], #KEYS[1])
	local state = call('HGET', KEYS[1], name)
	if state then
		local newest, bytes, count, goneBytes, goneCount, oldest, age = parse(state)
		local topic = {newest = newest, bytes = bytes, count = count, goneBytes = goneBytes, goneCount = goneCount, oldest = oldest}
		if count > goneCount and call('EXISTS', KEYS[i]) == 0 then
			topic.goneBytes, topic.goneCount = bytes, count
		elseif all > tonumber(ARGV[2]) then
			trim(KEYS[i], topic, (bytes - goneBytes) * ARGV[3], 9e15, 0, 0)
		end
		if topic.goneCount ~= goneCount then
			all = all - topic.goneBytes + goneBytes
			call('HSET', KEYS[1], name, stateOf(newest, bytes, count, topic.goneBytes, topic.goneCount, topic.oldest, age))
		end
		if topic.count == topic.goneCount and newest < tonumber(ARGV[1]) then
			floor = math.max(floor, newest)
			call('HDEL', KEYS[1], name)
		end
	end
end
call('HSET', KEYS[1], 'g', text(math.max(all, 0)), 'f', text(floor))
return text(all)
