-- To count what they hold at the beginning, and to show their rows.
GRANT SELECT ON TABLE
  {tables}
TO {role};
