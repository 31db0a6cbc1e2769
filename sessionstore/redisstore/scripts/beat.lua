-- Says that a node lives. ARGV: 1 the node, 2 for how many microseconds, 3 how many milliseconds keys are kept. Returns {"ok"}, or nothing if its time was over.
local node, ttl, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if tonumber(call('ZSCORE', NODES, node) or 0) <= now then return {} end
call('ZADD', NODES, text(now + ttl), node)
touch(keep)
return {'ok'}
