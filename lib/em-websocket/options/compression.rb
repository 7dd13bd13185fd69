# frozen_string_literal: true

require_relative "../checks"
require_relative "../native"

module EventMachine
  module WebSocket
    # The option `:compression`: permessage-deflate (RFC 7692).
    #
    # @api private
    module Compression
      # Keys that are numbers of a range.
      RANGES = { level: 0..9, window_bits: 8..15, memory_level: 1..9 }.freeze

      # Every key.
      KEYS = [*RANGES.keys, :threshold, :context_takeover].freeze

      # @param option [Boolean, #[], 0]
      # @return [Native::Compression, nil] nil: no compression
      # @raise [ArgumentError] if a key is unknown, or a number out of its range
      def self.of(option)
        return if option == 0 # rubocop:disable Style/NumericPredicate -- it may be anything
        return Native::Compression.new({}) if option == true

        options = Checks.keyed(:compression, option, "give true, or a Hash such as { level: 3 }")
        check_keys(options)
        Native::Compression.new(KEYS.to_h { |key| [key, read(key, options[key])] })
      end

      def self.check_keys(options)
        return unless options.respond_to?(:keys)

        Checks.no_strings(:compression, options, KEYS)
        keys = options.keys
        keys.each do |key|
          next if KEYS.any? { |known| known.to_s == key.to_s }

          raise ArgumentError, "compression: unknown key #{key.to_s.inspect}: " \
                               "give some of #{KEYS.map(&:inspect).join(", ")}"
        end
      end
      private_class_method :check_keys

      def self.read(key, value)
        return if value.nil?

        case key
        when :context_takeover then value ? true : false
        when :threshold then Checks.bytes("compression: threshold", value) || 0
        else number(key, value, RANGES[key])
        end
      end
      private_class_method :read

      def self.number(key, value, range)
        if value.is_a?(Numeric) && value.real? && range.cover?(value) && value == value.to_i
          return value.to_i
        end

        raise ArgumentError, "compression: #{key} is #{Checks.shown(value)}, " \
                             "not #{range.begin} to #{range.end}"
      end
      private_class_method :number
    end
  end
end
