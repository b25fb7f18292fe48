package refresh

import (
	"container/list"
	"time"
)

// add keeps a family.
func (s *Store[G]) add(begun *family[G]) {
	own := s.owners[begun.owner]
	if own == nil {
		own = list.New()
		s.owners[begun.owner] = own
	}
	begun.place = own.PushBack(begun)
	s.families[begun.id] = begun
	if len(s.families) == 1 || begun.expires.Before(s.sweepAt) {
		s.sweepAt = begun.expires
	}
}

// remove ends a family, if there is one.
func (s *Store[G]) remove(ended *family[G]) {
	if ended == nil {
		return
	}
	own := s.owners[ended.owner]
	own.Remove(ended.place)
	if own.Len() == 0 {
		delete(s.owners, ended.owner)
	}
	delete(s.families, ended.id)
}

// makeRoom removes what has expired, if the store is full, and the owner's oldest
// family, if he has too many. Nobody's family gives way to another owner's.
func (s *Store[G]) makeRoom(owner string, now time.Time) {
	if own := s.owners[owner]; own != nil && own.Len() >= s.config.MostPerOwner {
		if oldest, ok := own.Front().Value.(*family[G]); ok {
			s.remove(oldest)
		}
	}
	if len(s.families) < s.config.MostFamilies || now.Before(s.sweepAt) {
		return
	}
	var next time.Time
	for _, one := range s.families {
		switch {
		case !now.Before(one.expires):
			s.remove(one)
		case next.IsZero() || one.expires.Before(next):
			next = one.expires
		}
	}
	s.sweepAt = next
}
