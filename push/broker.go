package push

// API sketch for those who build on it; bodies follow.
//
//	func New(authorize AuthorizeFunc, opts *Options) (*Broker, error)
//	func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request)
//	func (b *Broker) Publish(ctx context.Context, event Event) (eventlog.Cursor, error)
//	func (b *Broker) PublishAll(ctx context.Context, events ...Event) ([]eventlog.Cursor, error)   // all or none
//	func (b *Broker) SendAll(ctx context.Context, event Event) (eventlog.Cursor, error)            // every stream
//	func (b *Broker) SendUser(ctx context.Context, user string, event Event) (eventlog.Cursor, error)
//	func (b *Broker) SendSession(ctx context.Context, session string, event Event) (eventlog.Cursor, error)
//	func (b *Broker) Cursor(ctx context.Context) (eventlog.Cursor, error)                          // now
//	func (b *Broker) WithCursor(next http.Handler) http.Handler                                    // takes it before the handler reads its data
//	func CursorFrom(ctx context.Context) eventlog.Cursor
//	func (b *Broker) Sessions() iter.Seq[SessionInfo]
//	func (b *Broker) Revoke(session string) error
//	func (b *Broker) Check(ctx context.Context) error                                              // canary, for readiness
//	func (b *Broker) Stats() Stats                                                                 // Connections, Sessions
//	func (b *Broker) Drain(ctx context.Context) error                                              // waves; then Close
//	func (b *Broker) Close() error
//	type Event = eventlog.Event
