"""Operations on any network: building, measuring, rescaling and comparing."""
