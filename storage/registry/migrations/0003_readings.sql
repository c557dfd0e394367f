-- What was measured of the pages of a version, as JSON. Apart from versions, whose
-- rows look-ups read and which stay short that way.
CREATE TABLE gates (
	ordinal BIGINT NOT NULL PRIMARY KEY REFERENCES versions (ordinal) ON DELETE CASCADE,
	gates   TEXT   NOT NULL
);

ALTER TABLE jobs ADD COLUMN again BIGINT NOT NULL DEFAULT 0; -- 1: read again what could be read better
