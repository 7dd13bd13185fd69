# frozen_string_literal: true

require "bigdecimal"

# The values that somebody may give where a number, or something else, is expected.
module OddValues
  NUMBERS = [
    0, 1.5, -1.5, Float::INFINITY, -Float::INFINITY, Float::NAN, 1e19, 1e308, 5e-324, 3r, 7/2r,
    BigDecimal("2.5"), BigDecimal("Infinity"), BigDecimal("NaN"), -1, 2**16, 2**31, 2**32, 2**53,
    2**63, 2**64, -(2**64), 10**30
  ].freeze
  OTHERS = [
    nil, false, true, "10", "ten", "", "1\xFF", "10".encode("UTF-16LE"), :ten, [], [10], {},
    { "ten" => 10 }, Object, Complex(1, 2), 1..2
  ].freeze
  ALL = [*NUMBERS, *OTHERS].freeze

  # The words of another language than Ruby.
  FOREIGN = /\b[iuf](8|16|32|64)\b|\b[iu]size\b|unsigned|\blong\b|panic/
end
