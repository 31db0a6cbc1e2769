-- Reads a topic. KEYS: the log, the tail, its list, the topic's stream. ARGV: 1 an epoch for an empty log, 2 the age in microseconds that is kept, 3 and 4 the
-- range: after, until or "+"; 5 how many records are wanted, 6 is 1 if it is the newest.
-- Returns the epoch, the newest offset of the topic that was dropped or an upper bound of it, the entries that hold records of the range, of which the
-- first and the last may hold others too, and 1 if there are more. They may be more or fewer records than are wanted.
local stream, untilText = KEYS[4], ARGV[4]
local got = call('HMGET', KEYS[1], 'e', sub(stream, #KEYS[1]), 'f')
if not got[1] then return {begin(ARGV[1], '0'), '0', {}, 0} end
if not got[2] then return {got[1], got[3] or '0', {}, 0} end
local newest, _, count, _, gone = parse(got[2])
local oldest = math.max(now() - ARGV[2], 0)
local kept = call('XRANGE', stream, text(oldest), '+', 'COUNT', 1)[1]
if not kept then return {got[1], text(newest), {}, 0} end

local from = math.max(ARGV[3] + 1, oldest)
local wanted = math.min(tonumber(ARGV[5]), math.ceil(ARGV[5] * call('XLEN', stream) / math.max(count - gone, 1)) + 1)
local backwards = ARGV[6] == '1'
-- edge returns the entry that holds the records up to the end of the range, if its id is behind that.
local function edge()
	if untilText == '+' or tonumber(untilText) < from then return nil end
	return call('XRANGE', stream, '(' .. untilText, '+', 'COUNT', 1)[1]
end
local entries
if backwards then
	entries = call('XREVRANGE', stream, untilText, text(from), 'COUNT', text(wanted))
else
	entries = call('XRANGE', stream, text(from), untilText, 'COUNT', text(wanted))
end
local more = #entries == wanted
if backwards then
	local last = edge()
	if last then table.insert(entries, 1, last) end
elseif not more then
	entries[#entries + 1] = edge()
end
return {got[1], text(unpackBytes('<d', kept[2][1])), entries, more and 1 or 0}
