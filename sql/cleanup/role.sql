DROP ROLE {role};
