DROP TABLE buffkit_archive_events;
DROP TABLE buffkit_archive;
