-- Run by the image once, when its volume is empty. A password changed later is changed with ALTER ROLE.
\set ON_ERROR_STOP 1
\set catalogue `cat /run/secrets/framehouse/catalogue_password`
\set temporal `cat /run/secrets/framehouse/temporal_password`

CREATE ROLE framehouse LOGIN PASSWORD :'catalogue';
CREATE DATABASE framehouse OWNER framehouse;

CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
