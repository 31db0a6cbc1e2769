package redislog

// InFlight is how many scripts are on their way at a time.
const InFlight = inFlight

// Pending is how many scripts are on their way, and how many appends wait for their turn.
func (s *Store) Pending() (sending, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committers, len(s.queue)
}
