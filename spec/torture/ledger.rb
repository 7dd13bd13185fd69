# frozen_string_literal: true

module Torture
  # Counts numbered messages, on whichever side: how many, their sum, and how many of them did not
  # come right behind the one before.
  class Ledger
    attr_reader :count, :sum, :disorder

    # The totals of some.
    def self.total(ledgers)
      { count: ledgers.sum(&:count), sum: ledgers.sum(&:sum), disorder: ledgers.sum(&:disorder) }
    end

    def initialize
      @count = @sum = @disorder = 0
      @next = 1
    end

    def <<(number)
      @disorder += 1 unless number == @next
      @next = number + 1
      @count += 1
      @sum += number
      self
    end
  end
end
