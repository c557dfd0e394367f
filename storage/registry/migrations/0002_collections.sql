-- What documents.collection names, if somebody said more about it than the name.
-- The sequence is that of documents and jobs: cursors of the list hold it, and
-- tell no name.
CREATE TABLE collections (
	name       TEXT   NOT NULL PRIMARY KEY,
	sequence   BIGINT NOT NULL UNIQUE,
	kind       TEXT   NOT NULL,
	department TEXT   NOT NULL,
	density    BIGINT NOT NULL,
	created_at BIGINT NOT NULL
);

-- Apart from places: look-ups read the sketches of many versions, and what stands
-- in a row behind long places is reached page by page.
CREATE TABLE sketches (
	ordinal BIGINT NOT NULL PRIMARY KEY REFERENCES versions (ordinal) ON DELETE CASCADE,
	sealed  BYTEA  NOT NULL
);
