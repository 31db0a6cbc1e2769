-- Reads the head, and the tail behind an offset. ARGV: 1 an epoch for an empty log, 2 the offset or "", 3 how many entries at most.
-- Returns the epoch, the newest offset and the entries.
local got = call('HMGET', KEYS[1], 'e', 'l')
if not got[1] then return {begin(ARGV[1], '0'), '0', {}} end
if ARGV[2] == '' then return {got[1], got[2], {}} end
return {got[1], got[2], call('XRANGE', KEYS[2], '(' .. ARGV[2], '+', 'COUNT', ARGV[3])}
