-- These are to be streamed too.
ALTER PUBLICATION {publication} ADD TABLE
  {tables};
