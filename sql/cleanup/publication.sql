-- The log carries no more than before.
DROP PUBLICATION {publication};
