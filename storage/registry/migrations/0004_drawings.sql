-- By which version of the drawing the pages of a version were drawn: 0 is pending.
ALTER TABLE versions ADD COLUMN drawn BIGINT NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN undrawn TEXT NOT NULL DEFAULT ''; -- which pages were not, and why
CREATE INDEX versions_by_drawn ON versions (drawn, ordinal);

CREATE TABLE drawings (
	ordinal BIGINT NOT NULL PRIMARY KEY,
	version BIGINT NOT NULL REFERENCES versions (ordinal) ON DELETE CASCADE,
	page    BIGINT NOT NULL,
	part    TEXT   NOT NULL,
	region  TEXT   NOT NULL, -- JSON, of a picture on the page
	layout  BYTEA  NOT NULL  -- sealed; empty: none
);
CREATE INDEX drawings_by_version ON drawings (version, ordinal);

-- Apart from drawings: all of them are read when the registry opens.
CREATE TABLE hashes (
	ordinal BIGINT NOT NULL PRIMARY KEY REFERENCES drawings (ordinal) ON DELETE CASCADE,
	sealed  BYTEA  NOT NULL
);
