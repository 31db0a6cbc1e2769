-- What the scripts share. Offsets are microseconds and fit the 53 bits of a Lua number until the year 2255.
--
-- KEYS[1] is the hash of the log: e its epoch, l its newest offset, f the newest offset of the topics it has forgotten, w and o the bytes
-- and the oldest offset of the tail, g the bytes of all topics, v the layout below, and for each topic "t:<topic>" = newest offset, bytes and count of all records
-- there ever were, bytes and count of those that are gone, oldest offset, and the age in microseconds that its stream expires by or 0, as seven doubles.
-- KEYS[2] is the tail: an entry for each batch, or a part of it, its id the offset of the last record. Its first pair is the epoch and the offset before
-- it. Its second is the newest offset, before the batch, of each topic that begins in it, a double each, and the records as the node has packed them.
-- KEYS[3] is a list of the tail's entries: id and bytes, as two doubles.
-- A topic's stream has an entry for some of a batch's records, its id the offset of the last of them. Its one pair is what was known of the topic before them,
-- newest offset, bytes and count, as three doubles, and the records as the node has packed them, the first byte their number.
--
-- Redis hashes each string that Lua gets, byte by byte: 2 ns each. So the scripts avoid to look at entries.
local call = redis.call
local format, match, sub, byte = string.format, string.match, string.sub, string.byte
local pack, unpackBytes = struct.pack, struct.unpack

-- A value of more than 64 bytes makes the hash a table at once: in a list, which it would be with up to 100 topics, finding a field takes three times as long.
local layout = '2: the log of github.com/buffkit/buffkit/eventlog/redislog, as its scripts describe it'

local function text(n) return format('%d', n) end

local function offsetOf(id) return tonumber(match(id, '^%d+')) end

local function now()
	local t = call('TIME')
	return t[1] * 1000000 + t[2]
end

-- begin gives an empty log its epoch.
local function begin(epoch, last)
	call('UNLINK', KEYS[2], KEYS[3]) -- of a log whose hash was evicted or deleted
	call('HSET', KEYS[1], 'v', layout, 'e', epoch, 'l', last)
	return epoch
end

-- parse reads what is known of a topic, in the order above. The oldest offset is a lower bound.
local function parse(state) return unpackBytes('<ddddddd', state) end

local function stateOf(newest, bytes, count, goneBytes, goneCount, oldest, age)
	return pack('<ddddddd', newest, bytes, count, goneBytes, goneCount, oldest, age)
end

-- known returns an entry's offset, and the bytes and the count of the topic before it.
local function known(entry)
	local _, bytes, count = unpackBytes('<ddd', entry[2][1])
	return offsetOf(entry[1]), bytes, count
end

-- beginning finds the entry that a topic is to begin with, so that what is left has at least most records, or more than 15/16 of mostBytes, and no more than
-- mostBytes, and slack records more. It begins at an entry, before which so much is gone, and returns such three again. Offsets are times, so it guesses
-- where the entry is.
local function beginning(key, topic, at, bytes, count, mostBytes, most, slack)
	local goal, goalBytes = topic.count - most, topic.bytes - mostBytes
	local behind, behindBytes, behindCount = topic.newest + 1, topic.bytes, topic.count -- it is before this one
	local function may(entry)
		local offset, b, c = known(entry)
		if c > goal and b >= goalBytes + mostBytes / 16 then
			behind, behindBytes, behindCount = offset, b, c
			return false
		end
		at, bytes, count = offset, b, c
		return true
	end
	local guesses = 8
	while (count < goal - slack or bytes < goalBytes) and behind - at > 1 do
		if guesses > 0 and behindCount - count > 16 then
			guesses = guesses - 1
			local share = math.max((goal - slack / 2 - count) / (behindCount - count), (goalBytes + mostBytes / 32 - bytes) / (behindBytes - bytes))
			local guess = at + 1 + math.floor((behind - at - 1) * math.min(math.max(share, 0), 0.95))
			local entry = call('XRANGE', key, text(guess), '+', 'COUNT', '1')[1]
			if not entry or not may(entry) then behind = guess end
		else
			local entries = call('XRANGE', key, '(' .. text(at), '+', 'COUNT', '16')
			if #entries == 0 then break end
			for _, entry in ipairs(entries) do
				if not may(entry) then return at, bytes, count end
			end
		end
	end
	return at, bytes, count
end

-- trim drops the oldest entries of a topic: those that are older than an offset, and those before its new beginning.
local function trim(key, topic, mostBytes, most, slack, before)
	local at, bytes, count = topic.oldest, topic.goneBytes, topic.goneCount
	if at < before then
		local entry = call('XRANGE', key, text(before), '+', 'COUNT', '1')[1]
		if entry then
			at, bytes, count = known(entry)
		else
			at, bytes, count = topic.newest + 1, topic.bytes, topic.count
		end
	end
	at, bytes, count = beginning(key, topic, at, bytes, count, mostBytes, most, slack)
	if count > topic.goneCount then call('XTRIM', key, 'MINID', text(at)) end
	topic.oldest, topic.goneBytes, topic.goneCount = at, bytes, count
end
