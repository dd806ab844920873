/* How the release binary finds addresses and users: by /etc/hosts and DNS, and by /etc/passwd, whatever /etc/nsswitch.conf says.
 *
 * The C library is linked in, and would load what nsswitch.conf names (myhostname and resolve on Fedora, mdns on a desktop) from the host:
 * with them comes the host's own C library, and where that is another release the program ends with SIGFPE or SIGSEGV in the middle of the
 * first name. What is asked for here is linked in too. Runs before main; see nss(5) and glibc's nss.h. */

#include <nss.h>

__attribute__((constructor)) static void ask_what_is_linked_in(void)
{
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
    __nss_configure_lookup("group", "files");
}
