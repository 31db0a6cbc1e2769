-- What the scripts share. Offsets are microseconds and fit the 53 bits of a Lua number until the year 2255.
--
-- KEYS[1] is the hash of the log: e its epoch, l its newest offset, f the newest offset of the topics it has forgotten, w and o the bytes
-- and the oldest offset of the tail, g the bytes of all topics, and for each topic "t:<topic>" = newest offset, bytes, count, oldest offset, and the age in
-- microseconds that its stream expires by or 0, as five doubles.
-- KEYS[2] is the tail: an entry for each batch, its id the offset of the last record. Its first pair is the epoch and the offset before the batch; its
-- second the records, whose offsets follow one another: for each the offset before it in its topic as a double, the lengths of "t:<topic>" and of its
-- bytes in four bytes each, and both of them.
local call = redis.call
local format, match, sub = string.format, string.match, string.sub
local pack, unpackBytes = struct.pack, struct.unpack

local function text(n) return format('%d', n) end

local function offsetOf(id) return tonumber(match(id, '^%d+')) end

local function now()
	local t = call('TIME')
	return t[1] * 1000000 + t[2]
end

-- begin gives an empty log its epoch.
local function begin(epoch, last)
	call('UNLINK', KEYS[2]) -- of a log whose hash was evicted or deleted
	call('HSET', KEYS[1], 'e', epoch, 'l', last)
	return epoch
end

-- parse reads what is known of a topic. Its oldest offset is a lower bound.
local function parse(state)
	if not state then return nil end
	local newest, bytes, count, oldest, age = unpackBytes('<ddddd', state)
	return {newest = newest, bytes = bytes, count = count, oldest = oldest, age = age}
end

local function sizeOf(entry)
	local size = 0
	for i = 2, #entry[2], 2 do size = size + #entry[2][i] end
	return size
end

-- trim drops the oldest records of a topic while it is over a limit, and returns how many bytes.
local function trim(key, topic, maxCount, maxBytes, before)
	local freed = 0
	local function over()
		return topic.count > 0 and (topic.oldest < before or (topic.count > 1 and (topic.count > maxCount or topic.bytes > maxBytes)))
	end
	while over() do
		local entries = call('XRANGE', key, '-', '+', 'COUNT', topic.bytes > maxBytes and 65 or math.min(math.max(topic.count - maxCount, 1) + 1, 65))
		local last
		if #entries == 0 then -- somebody else has removed them
			freed = freed + topic.bytes
			topic.count, topic.bytes = 0, 0
		end
		for _, entry in ipairs(entries) do
			topic.oldest = offsetOf(entry[1])
			if not over() then break end
			local size = math.min(sizeOf(entry), topic.bytes)
			topic.count, topic.bytes, freed = topic.count - 1, topic.bytes - size, freed + size
			last = topic.oldest
		end
		if last then
			if last == topic.oldest then topic.oldest = last + 1 end
			call('XTRIM', key, 'MINID', text(last + 1))
		end
		if not last then break end
	end
	return freed
end

local function stateOf(topic) return pack('<ddddd', topic.newest, topic.bytes, topic.count, topic.oldest, topic.age) end
