-- PowerDNS Recursor's lua-config-file: add this line to it (on Debian /etc/powerdns/recursor.lua).
-- The zone is private and unsigned. Clients that ask for signatures (DO), as validating ones behind this one do, would
-- otherwise get SERVFAIL below a signed parent, or one that does not exist in public.
addNTA("fs.corp.example", "private and unsigned")
