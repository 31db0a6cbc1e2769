package redislog

// InFlight is how many scripts are on their way at a time.
const InFlight = inFlight

// Waiting is how many appends wait for their turn.
func (s *Store) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}
