"""How a packet gets in and out: networks, addresses, bridge, veth, NAT, DNS."""
