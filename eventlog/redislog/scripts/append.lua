-- Stores records, all of them or none.
--
-- KEYS: the log, the tail, its list, the topics' streams, the idempotency keys. ARGV: 1 an epoch for an empty log, 2 the epoch that the node knows, 3 a plan,
-- then the entries of the topics' streams, one topic after the other, and those of the tail.
--
-- The plan is binary. Doubles: the newest offset that the node has seen in its epoch, and in any; the bytes and the microseconds that the tail keeps; the
-- idempotency window in ms. Then numbers of four bytes: how many topics, retentions, and entries of the tail there are. For each retention, as doubles:
-- count, bytes, age in microseconds, and 1 if the age is limited. Numbers again: for each topic its retention and how many entries it gets, and for each of
-- these the index of its last record; for each entry of the tail the index of its last record, and how many topics begin in it; for each idempotency key the
-- index of its record. A record's index is its place behind the first.
--
-- Returns the epoch, the offset before the first, the first offset, and for each topic the offset before its first as a double. If some of the
-- idempotency keys were used before, nothing is stored: it returns the epoch and, for each of them, its number from 0 and its offset.
local meta, tail, list = KEYS[1], KEYS[2], KEYS[3]
local plan = ARGV[3]
local seen, seenInAny, tailKeeps, tailAge, window, topics, classes, parts, at = unpackBytes('<dddddI4I4I4', plan)
local time = now()

local function head() -- unpack takes 8,000 at most
	local got = call('HMGET', meta, 'e', 'l', 'w', 'o', 'g', 'f')
	local names = {}
	for i = 1, topics do names[i] = sub(KEYS[3 + i], #meta) end
	for i = 1, topics, 4000 do
		local part = call('HMGET', meta, unpack(names, i, math.min(i + 3999, topics)))
		for j = 1, #part do got[6 + i - 1 + j] = part[j] end
	end
	return got, names
end

local got, names = head()
local epoch, last = got[1], tonumber(got[2] or 0)
if not epoch then
	epoch, last = begin(ARGV[1], '0'), 0
	for i = 2, 6 + topics do got[i] = false end
elseif epoch == ARGV[2] and last < seen then -- this node has seen records that are lost
	epoch = ARGV[1]
	call('HSET', meta, 'e', epoch)
end
local tailBytes, tailOldest = tonumber(got[3] or 0), tonumber(got[4] or 0)
local allBytes, floor = tonumber(got[5] or 0), tonumber(got[6] or 0)
local previous = text(last)
local first = math.max(last + 1, seenInAny + 1, time)

local repeats = {}
for key = 4 + topics, #KEYS do
	local offset = call('GET', KEYS[key])
	if offset then repeats[#repeats + 1] = text(key - 4 - topics) .. ' ' .. offset end
end
if #repeats > 0 then return {epoch, table.concat(repeats, ' ')} end

local retentions = {}
for class = 1, classes do
	local count, bytes, age, expires
	count, bytes, age, expires, at = unpackBytes('<dddd', plan, at)
	-- A little over the limits is left, so that most appends needn't look.
	local slack = math.min(math.floor(count / 16), 64)
	retentions[class] = {
		count = count, bytes = bytes, age = age, expires = expires == 1, cell = age / 16,
		slack = math.floor(slack / 2), overCount = count + slack, overBytes = bytes * 1.0625, overAge = age * 1.0625,
	}
end

local added = {}
local function add(key, id, ...)
	call('XADD', key, id, ...)
	local n = #added
	added[n + 1], added[n + 2] = key, id
end

local arg, befores, fields = 3, {}, {}

-- storeTopic adds the entries of a topic, and keeps it within its limits.
local function storeTopic(i)
	local key, state = KEYS[3 + i], got[6 + i]
	local class, entries
	class, entries, at = unpackBytes('<I4I4', plan, at)
	local limits = retentions[class]
	local newest, bytes, count, goneBytes, goneCount, oldest, age
	if state then
		newest, bytes, count, goneBytes, goneCount, oldest, age = parse(state)
		if count > goneCount and newest < time - limits.age and call('EXISTS', key) == 0 then
			allBytes = allBytes - bytes + goneBytes
			goneBytes, goneCount = bytes, count
		end
	else
		newest, bytes, count, goneBytes, goneCount, oldest, age = floor, 0, 0, 0, 0, first, 0
		call('UNLINK', key) -- of a log whose hash was evicted or deleted
		state = stateOf(newest, 0, 0, 0, 0, first, 0)
	end
	-- An expiry is set once in a sixteenth of the age, and when the age is another one than it was set for.
	local expire = limits.expires and (count == goneCount or age ~= limits.age or math.floor(newest / limits.cell) ~= math.floor(first / limits.cell))
	if count == goneCount then oldest = first end
	allBytes = allBytes - bytes + goneBytes
	befores[i] = sub(state, 1, 8)
	local before = sub(state, 1, 24)
	for entry = 1, entries do
		if entry > 1 then before = pack('<ddd', newest, bytes, count) end
		local index
		index, at = unpackBytes('<I4', plan, at)
		arg, newest = arg + 1, first + index
		local packed = ARGV[arg]
		add(key, text(newest), before, packed)
		bytes, count = bytes + #packed, count + byte(packed)
	end
	if count - goneCount > limits.overCount or bytes - goneBytes > limits.overBytes or oldest < time - limits.overAge then
		local topic = {newest = newest, bytes = bytes, count = count, goneBytes = goneBytes, goneCount = goneCount, oldest = oldest}
		trim(key, topic, limits.bytes, limits.count, limits.slack, time - limits.age)
		goneBytes, goneCount, oldest = topic.goneBytes, topic.goneCount, topic.oldest
	end
	allBytes = allBytes + bytes - goneBytes
	if expire then
		call('PEXPIRE', key, text(math.ceil(limits.age * 1.125 / 1000) + 1000))
		age = limits.age
	elseif age > 0 and not limits.expires then
		call('PERSIST', key)
		age = 0
	end
	local n = #fields
	fields[n + 1], fields[n + 2] = names[i], stateOf(newest, bytes, count, goneBytes, goneCount, oldest, age)
end

-- storeTail adds the records to what nodes follow, and returns the newest offset.
local listed = 0
local function storeTail()
	local chain, begun = previous, 0
	for _ = 1, parts do
		local index, fresh
		index, fresh, at = unpackBytes('<I4I4', plan, at)
		arg = arg + 1
		local id, size = text(first + index), #ARGV[arg]
		add(tail, id, epoch, chain, table.concat(befores, '', begun + 1, begun + fresh), ARGV[arg])
		call('RPUSH', list, pack('<dd', first + index, size))
		listed = listed + 1
		chain, begun, tailBytes = id, begun + fresh, tailBytes + size
		if tailOldest == 0 then tailOldest = first + index end
	end
	return chain
end

-- trimTail drops what is too old, and once there are too many bytes a sixteenth of them, up to eight entries at a time. The tail keeps its newest entry,
-- whatever its size. What is a little too old stays, so that most appends needn't look.
local function trimTail()
	local tooOld, enough = time - tailAge, tailKeeps * 0.9375
	for _ = 1, 100 do -- a limit that was lowered is reached in a few appends
		if tailBytes <= tailKeeps and tailOldest >= tooOld - tailAge / 16 then break end
		local entries = call('LRANGE', list, '0', '8')
		local kept = 1
		local oldest, size = unpackBytes('<dd', entries[1])
		while kept < #entries and (tailBytes > enough or oldest < tooOld) do
			tailBytes, kept = tailBytes - size, kept + 1
			oldest, size = unpackBytes('<dd', entries[kept])
		end
		call('XTRIM', tail, 'MINID', text(oldest))
		call('LTRIM', list, text(kept - 1), '-1')
		tailOldest = oldest
		if #entries == 1 then -- nothing else is left, or the list was evicted or deleted
			tailBytes = size
			break
		end
	end
end

local function remember(newest)
	for key = 4 + topics, #KEYS do
		local index
		index, at = unpackBytes('<I4', plan, at)
		call('SET', KEYS[key], text(first + index), 'PX', text(window))
	end
	for _, v in ipairs({'e', epoch, 'l', newest, 'w', text(tailBytes), 'o', text(tailOldest), 'g', text(math.max(allBytes, 0))}) do fields[#fields + 1] = v end
	for i = 1, #fields, 4000 do call('HSET', meta, unpack(fields, i, math.min(i + 3999, #fields))) end
end

-- A command may be refused that the user of this connection has no right to: nothing is left behind then.
local ok, failed = pcall(function()
	for i = 1, topics do storeTopic(i) end
	local newest = storeTail()
	trimTail()
	remember(newest)
end)
if not ok then
	for i = 1, #added, 2 do call('XDEL', added[i], added[i + 1]) end
	for _ = 1, listed do call('RPOP', list) end
	for key = 4 + topics, #KEYS do call('DEL', KEYS[key]) end
	failed = type(failed) == 'table' and failed.err or tostring(failed)
	return redis.error_reply('-' .. (match(failed, '^%u+ ') and failed or 'ERR ' .. failed))
end
return {epoch, previous, text(first), table.concat(befores)}
