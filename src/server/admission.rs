//! How many may connect: a cap in all and one per address, held for as long as the connection lives.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts connections by address.
#[derive(Debug)]
pub(super) struct Admission {
    most: usize,
    most_per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
}

/// The connection that a request came by. Whoever outlives the request (a WebSocket) keeps a copy, and with it the place.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Our end of the connection.
    pub(super) local: SocketAddr,
    /// Counted until the last copy is gone.
    pub(super) _place: Arc<Place>,
}

impl Admission {
    pub(super) fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, taken: Mutex::default() })
    }

    /// A place for one more connection from `address`, if there is one left.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = group(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.all >= self.most || here >= self.most_per_address {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, here + 1);
        Some(Place { admission: Arc::clone(self), address })
    }

    /// Connections at this moment.
    pub(super) fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.admission.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(here) = taken.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// One host usually owns a whole /64 of IPv6: its addresses count as one.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

/// Counts the clients of the stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(Arc<AtomicUsize>);

/// One client of the stream, counted until dropped.
#[derive(Debug)]
pub(super) struct Client(Arc<AtomicUsize>);

impl Clients {
    /// How many there are.
    pub(super) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// One more.
    pub(super) fn enter(&self) -> Client {
        self.0.fetch_add(1, Relaxed);
        Client(Arc::clone(&self.0))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_capped_in_all_and_by_address_and_come_back() {
        let admission = Admission::new(3, 2);
        let [a, b, c]: [IpAddr; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|text| text.parse().unwrap());
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(a).unwrap();
        assert!(admission.admit(a).is_none(), "two from one address");
        let _third = admission.admit(b).unwrap();
        assert!(admission.admit(c).is_none(), "three in all");
        drop(first);
        let _again = admission.admit(a).unwrap();
        assert_eq!(admission.taken(), 3);
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_left() {
        let admission = Admission::new(10, 10);
        drop(admission.admit("10.0.0.1".parse().unwrap()));
        assert!(admission.taken.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let admission = Admission::new(10, 1);
        let _place = admission.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert!(admission.admit("2001:db8::2".parse().unwrap()).is_none());
        assert!(admission.admit("2001:db8:0:1::2".parse().unwrap()).is_some());
    }
}
