-- Reads a topic. KEYS: the log, the tail, the topic's stream. ARGV: 1 an epoch for an empty log, 2 the age in microseconds that is kept, 3 and 4 the
-- range: after, until or "+"; 5 how many at most, 6 is 1 if it is the newest.
-- Returns the epoch, the newest offset of the topic that was dropped or an upper bound of it, and the entries.
local got = call('HMGET', KEYS[1], 'e', sub(KEYS[3], #KEYS[1]), 'f')
if not got[1] then return {begin(ARGV[1], '0'), '0', {}} end
local topic = parse(got[2])
if not topic then return {got[1], got[3] or '0', {}} end
local after, oldest = tonumber(ARGV[3]), math.max(now() - ARGV[2], 0)
local kept = call('XRANGE', KEYS[3], text(oldest), '+', 'COUNT', 1)[1]
if not kept then return {got[1], text(topic.newest), {}} end
local from = text(math.max(after + 1, oldest))
local entries
if ARGV[6] == '1' then
	entries = call('XREVRANGE', KEYS[3], ARGV[4], from, 'COUNT', ARGV[5])
else
	entries = call('XRANGE', KEYS[3], from, ARGV[4], 'COUNT', ARGV[5])
end
return {got[1], kept[2][1], entries}
