-- These are not to be streamed any more.
ALTER PUBLICATION {publication} DROP TABLE
  {tables};
