-- Revokes a session. ARGV: 1 its id, 2 why, 3 how many milliseconds keys are kept. Returns {"ok"}, or nothing if it was before.
local key, id, cause, keep = KEYS[FIXED + 1], ARGV[1], ARGV[2], ARGV[3]
local t = load(key) or new('', 0, '', now)
if t.x ~= '' then return {} end
revoke(id, t, cause)
save(key, id, t, keep)
touch(keep)
return {'ok'}
