-- Stores records, all of them or none.
--
-- KEYS: the log, the tail, the topics' streams, the idempotency keys.
-- ARGV: 1 an epoch for an empty log, 2 the epoch that the node knows, 3 the newest offset it has seen in it and 4 in any, 5 the bytes and 6 the
-- microseconds that the tail keeps, 7 the idempotency window in ms, 8 the number of topics, 9 of retentions; each retention's count, bytes, age in microseconds and 1 if the age
-- is limited; each topic's retention; then, for each record, its topic, its idempotency key or 0, and its bytes.
--
-- Returns "<epoch> <offset before the first> <first offset>" and for each record " <offset before it in its topic>", or " r<offset>" if it is a repeat.
local meta, tail = KEYS[1], KEYS[2]
local topics, classes = tonumber(ARGV[8]), tonumber(ARGV[9])
local time = now()

local function head() -- unpack takes 8,000 at most
	local got = call('HMGET', meta, 'e', 'l', 'w', 'o', 'g', 'f')
	local names = {}
	for i = 1, topics do names[i] = sub(KEYS[2 + i], #meta) end
	for i = 1, topics, 4000 do
		local part = call('HMGET', meta, unpack(names, i, math.min(i + 3999, topics)))
		for j = 1, #part do got[6 + i - 1 + j] = part[j] end
	end
	return got, names
end

local got, names = head()
local epoch, last = got[1], tonumber(got[2] or 0)
local seen = tonumber(ARGV[3])
if not epoch then
	epoch, last = begin(ARGV[1], '0'), 0
	for i = 2, 6 + topics do got[i] = false end
elseif epoch == ARGV[2] and last < seen then -- this node has seen records that are lost
	epoch = ARGV[1]
	call('HSET', meta, 'e', epoch)
end
local tailBytes, tailOldest = tonumber(got[3] or 0), tonumber(got[4] or 0)
local allBytes, floor = tonumber(got[5] or 0), got[6] or '0'
local previous = text(last)
local first = math.max(last + 1, ARGV[4] + 1, time)

local retentions = {}
for c = 1, classes do
	local at = 6 + 4 * c
	local age = tonumber(ARGV[at + 2])
	retentions[c] = {count = tonumber(ARGV[at]), bytes = tonumber(ARGV[at + 1]), age = age, expires = ARGV[at + 3] == '1', cell = age / 16}
	retentions[c].slack = math.min(math.floor(retentions[c].count / 16), 64)
end

-- state returns the topic with what is known of it.
local known = {}
local function state(i)
	local topic = known[i]
	if topic then return topic end
	local limits = retentions[tonumber(ARGV[9 + 4 * classes + i])]
	topic = parse(got[6 + i])
	if not topic then
		topic = {newest = tonumber(floor), bytes = 0, count = 0, oldest = first, age = 0}
		call('UNLINK', KEYS[2 + i]) -- of a log whose hash was evicted or deleted
	elseif topic.count > 0 and topic.newest < time - limits.age and call('EXISTS', KEYS[2 + i]) == 0 then
		allBytes = allBytes - topic.bytes
		topic.bytes, topic.count = 0, 0
	end
	-- An expiry is set once in a sixteenth of the age, and when the age is another one than it was set for.
	topic.expire = limits.expires and (topic.count == 0 or topic.age ~= limits.age or math.floor(topic.newest / limits.cell) ~= math.floor(first / limits.cell))
	topic.persist = not limits.expires and topic.age > 0
	topic.limits, topic.before = limits, text(topic.newest)
	known[i] = topic
	return topic
end

local added = {}
local function add(key, id, ...)
	call('XADD', key, id, ...)
	added[#added + 1] = {key, id}
end

local entry, entryBytes, chain = {}, 0, previous
local function flush(id)
	local records = table.concat(entry)
	add(tail, id, epoch, chain, 'r', records)
	if tailOldest == 0 then tailOldest = tonumber(id) end
	tailBytes = tailBytes + #records
	entry, entryBytes, chain = {}, 0, id
end

local offset, id = first - 1, nil
local reply, fresh = {epoch, previous, text(first)}, {}
local function store()
	for i = 10 + 4 * classes + topics, #ARGV, 3 do
		local t, key, bytes = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), ARGV[i + 2]
		local before = key > 0 and (fresh[key] or call('GET', KEYS[2 + topics + key]))
		if before then
			reply[#reply + 1] = 'r' .. before
		else
			offset = offset + 1
			id = text(offset)
			local topic, stream = state(t), KEYS[2 + t]
			add(stream, id, topic.before, bytes)
			reply[#reply + 1] = topic.before
			local n, name = #entry, names[t]
			entry[n + 1], entry[n + 2], entry[n + 3] = pack('<dI4I4', topic.newest, #name, #bytes), name, bytes
			if topic.count == 0 then topic.oldest = offset end
			topic.newest, topic.before, topic.count, topic.bytes = offset, id, topic.count + 1, topic.bytes + #bytes
			allBytes, entryBytes = allBytes + #bytes, entryBytes + #bytes
			if key > 0 then fresh[key] = id end
			if #entry >= 3000 or entryBytes > 262144 then flush(id) end
		end
	end
	if #entry > 0 then flush(id) end
end

local function remember()
	for key, value in pairs(fresh) do call('SET', KEYS[2 + topics + key], value, 'PX', ARGV[7]) end

	local fields = {'e', epoch, 'l', id}
	for i, topic in pairs(known) do
		local l = topic.limits
		-- A little over the limits is left, so that most appends needn't look.
		if topic.count > l.count + l.slack or topic.bytes > l.bytes * 1.0625 or topic.oldest < time - l.age * 1.0625 then
			allBytes = allBytes - trim(KEYS[2 + i], topic, l.count, l.bytes, time - l.age)
		end
		if topic.expire then
			call('PEXPIRE', KEYS[2 + i], text(math.ceil(l.age * 1.125 / 1000) + 1000))
			topic.age = l.age
		elseif topic.persist then
			call('PERSIST', KEYS[2 + i])
			topic.age = 0
		end
		fields[#fields + 1], fields[#fields + 2] = names[i], stateOf(topic)
		if #fields > 4000 then
			call('HSET', meta, unpack(fields))
			fields = {}
		end
	end
	for _, v in ipairs({'w', text(tailBytes), 'o', text(tailOldest), 'g', text(math.max(allBytes, 0))}) do fields[#fields + 1] = v end
	call('HSET', meta, unpack(fields))
end

local function trimTail()
	-- The tail keeps its newest entry, whatever its size. 100 rounds: a limit that was lowered is reached in a few appends.
	for _ = 1, 100 do
		if tailBytes <= tonumber(ARGV[5]) and tailOldest >= time - ARGV[6] then break end
		local entries = call('XRANGE', tail, '-', '+', 'COUNT', 9)
		if #entries < 2 then break end
		for i = 1, #entries - 1 do tailBytes = tailBytes - sizeOf(entries[i]) + #entries[i][2][2] end
		call('XTRIM', tail, 'MINID', entries[#entries][1])
		tailOldest = offsetOf(entries[#entries][1])
	end
end

-- A command may be refused that the user of this connection has no right to: nothing is left behind then.
local ok, failed = pcall(function()
	store()
	if not id then return end
	trimTail()
	remember()
end)
if not ok then
	for _, a in ipairs(added) do call('XDEL', a[1], a[2]) end
	for key in pairs(fresh) do call('DEL', KEYS[2 + topics + key]) end
	failed = type(failed) == 'table' and failed.err or tostring(failed)
	return redis.error_reply('-' .. (match(failed, '^%u+ ') and failed or 'ERR ' .. failed))
end
return table.concat(reply, ' ')
