-- Gives the log a new epoch, ARGV[1], if its epoch is ARGV[2], and returns the one it has.
local epoch = call('HGET', KEYS[1], 'e')
if not epoch then return begin(ARGV[1], '0') end
if epoch == ARGV[2] then
	call('HSET', KEYS[1], 'e', ARGV[1])
	return ARGV[1]
end
return epoch
