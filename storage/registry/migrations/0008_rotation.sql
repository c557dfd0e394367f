-- While the secret key is being changed: the sketch as the previous key makes it, by which a
-- version is compared with those that have only that; sealed, empty at other times.
ALTER TABLE sketches ADD COLUMN second BYTEA NOT NULL DEFAULT '';
