-- Looks what is to be swept. ARGV: 1 and 2 how long abandoned and revoked sessions are kept, in microseconds, 3 how many sessions there may be, 0 for no limit,
-- 4 how many replayed there may be, 5 how many to return at most of each, 6 how many milliseconds keys are kept. Returns three lists: dead nodes, sessions to forget, and sessions to end.
local abandoned, revoked, most, replays, page = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

-- keeps returns how long revoked sessions are kept, as sessionstore.Longest has it.
local function keeps()
	local v = call('HMGET', LONGEST, 'k', 's')
	local longest, since = tonumber(v[1] or 0), now - tonumber(v[2] or 0)
	if (revoked < longest and since <= longest * 9 / 8) or (revoked == longest and since <= revoked / 8) then return longest end
	call('HSET', LONGEST, 'k', text(revoked), 's', text(now))
	call('PEXPIRE', LONGEST, ARGV[6])
	return revoked
end

local dead = call('ZRANGEBYSCORE', NODES, '-inf', text(now), 'LIMIT', 0, page)
local forget = call('ZRANGEBYSCORE', REVOKED, '-inf', '(' .. text(now - keeps()), 'LIMIT', 0, page)
if #forget < page then
	local surplus = math.min(call('ZCARD', REPLAYED) - replays, page)
	if surplus > 0 then
		for _, id in ipairs(call('ZRANGE', REPLAYED, 0, surplus - 1)) do forget[#forget + 1] = id end
	end
end
local ending = call('ZRANGEBYSCORE', ABANDONED, '-inf', '(' .. text(now - abandoned), 'LIMIT', 0, page)
if most > 0 then
	local surplus = math.min(call('ZCARD', LIVE) - most, page)
	if surplus > #ending then ending = call('ZRANGE', ABANDONED, 0, surplus - 1) end
end
return {dead, forget, ending}
