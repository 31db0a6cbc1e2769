-- Looks after topics that nobody appends to. KEYS: the log, the tail, the topics' streams. ARGV: 1 the offset before which a topic that has nothing
-- left is forgotten, 2 the bytes of all topics that are too many, 3 how many of a topic's bytes to leave it then. Returns the bytes of all topics.
local got = call('HMGET', KEYS[1], 'g', 'f', 'e')
if not got[3] then return '0' end
local all, floor = tonumber(got[1] or 0), tonumber(got[2] or 0)
for i = 3, #KEYS do
	local name = sub(KEYS[i], #KEYS[1])
	local topic = parse(call('HGET', KEYS[1], name))
	if topic then
		if topic.count > 0 and call('EXISTS', KEYS[i]) == 0 then
			all = all - topic.bytes
			topic.count, topic.bytes = 0, 0
			call('HSET', KEYS[1], name, stateOf(topic))
		elseif all > tonumber(ARGV[2]) then
			all = all - trim(KEYS[i], topic, 9e15, topic.bytes * ARGV[3], 0)
			call('HSET', KEYS[1], name, stateOf(topic))
		end
		if topic.count == 0 and topic.newest < tonumber(ARGV[1]) then
			floor = math.max(floor, topic.newest)
			call('HDEL', KEYS[1], name)
		end
	end
end
call('HSET', KEYS[1], 'g', text(math.max(all, 0)), 'f', text(floor))
return text(all)
