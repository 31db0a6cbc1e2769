DROP TABLE buffkit_sessions_feed;
DROP TABLE buffkit_sessions_users;
DROP TABLE buffkit_sessions_held;
DROP TABLE buffkit_sessions_nodes;
DROP TABLE buffkit_sessions;
