"""Live feeds: connections to the sockets of exchanges, and what they owe to those who collect from them."""
