# frozen_string_literal: true

module EventMachine
  module WebSocket
    # The kinds of values that options, attributes and arguments have. Each check answers the value
    # as it is used, or raises an ArgumentError that names what it was given for, and says what may
    # be given.
    #
    # A number is whatever compares as one: Integer, Float, Rational, BigDecimal.
    #
    # @api private
    module Checks
      # Limit that is as good as none, in bytes or in numbers; every Float up to it is exact.
      MOST = 2**53

      # Time that is as good as for ever, in seconds: EventMachine's clock counts that far.
      FOREVER = 100 * 365 * 24 * 60 * 60

      # Advice where seconds are expected.
      SECONDS = "give 0 or more, such as 30 or 0.5"
      private_constant :SECONDS

      # Keys of `:graceful`, which are arguments of {WebSocket.shutdown}.
      TIMES = %i[timeout delay within].freeze
      private_constant :TIMES

      # The longest excerpt of a value in a message, in characters.
      SHOWN = 60
      private_constant :SHOWN

      module_function

      # @return [Numeric]
      def number(name, value, kind = "number", advice = "give an Integer or a Float")
        real = value.is_a?(Numeric) && value.real?
        return value if real && !(value.respond_to?(:nan?) && value.nan?)

        raise ArgumentError, "#{name}: #{shown(value)} is no #{kind}: #{advice}"
      end

      # A limit as em-websocket has it: compared with a size as it is.
      #
      # @return [Numeric, nil] nil: none of its own
      def limit(name, value)
        value.nil? ? nil : number(name, value)
      end

      # A time that must pass, 0 or more.
      #
      # @return [Numeric]
      def duration(name, value)
        not_below_zero(name, value, "number of seconds", SECONDS)
      end

      # @return [Numeric]
      def not_below_zero(name, value, kind, advice)
        number = number(name, value, kind, advice)
        return number unless number.negative?

        raise ArgumentError, "#{name}: #{shown(value)} is no #{kind}: #{advice}"
      end

      # A limit of time; what is as good as for ever is no limit.
      #
      # @return [Integer, Float] 0: no limit
      def seconds(name, value)
        seconds = duration(name, value)
        return 0 if seconds >= FOREVER

        case seconds
        when Integer, Float then seconds
        else seconds.to_f
        end
      end

      # A time as EventMachine's timers take it: digits will do.
      #
      # @return [Numeric]
      def digits(name, value)
        seconds = value.is_a?(String) ? Float(value.b, exception: false) : value
        duration(name, seconds.nil? ? value : seconds)
      end

      # Seconds that a timer of EventMachine's can be set to.
      #
      # @return [Numeric]
      def timer(seconds)
        seconds.clamp(0, FOREVER)
      end

      # @return [Integer, nil] nil: not given
      def bytes(name, value)
        value = number(name, value)
        not_negative(name, value)
        value = value >= MOST ? MOST : value.floor
        value.zero? ? nil : value
      end

      # A limit of which em-websocket asks whether it is positive.
      #
      # @return [Integer] 0: no limit
      def ceiling(name, value)
        number(name, value).between?(0, MOST) ? value.floor : 0
      end

      # @return [Integer, nil] nil: not given
      def count(name, value, range = 1..MOST)
        value = number(name, value)
        return if value.zero?

        not_negative(name, value, range.begin)

        integer(name, value, range)
      end

      # A number a second.
      #
      # @return [Float, nil] nil: no limit
      def rate(name, value)
        rate = not_below_zero(name, value, "number a second", "give 0 or more, such as 20 or 0.5")
        rate.positive? && rate < MOST ? rate.to_f : nil
      end

      # A limit that 0 leaves at its default.
      def not_negative(name, value, least = 1)
        return unless value.negative?

        raise ArgumentError, "#{name}: #{shown(value)} is negative: " \
                             "give #{least} or more, or 0 for the default"
      end

      # @return [Integer]
      def integer(name, value, range)
        value = number(name, value)
        value = MOST if value >= MOST && range.end == MOST
        unless range.cover?(value)
          raise ArgumentError, "#{name}: #{shown(value)} is not #{range.begin} to #{range.end}"
        end
        return value.to_i if value == value.to_i

        raise ArgumentError, "#{name}: #{shown(value)} is no whole number: give an Integer"
      end

      # @return [Object] as em-websocket has it: the value, which is asked whether it is truthy
      def given(_name, value)
        value
      end

      # @return [Boolean]
      def switch(_name, value)
        value != 0
      end

      # @return [Hash{Symbol => Numeric}, nil] what {WebSocket.shutdown} is given; nil: not given
      def graceful(name, value)
        return if value == 0 # rubocop:disable Style/NumericPredicate -- it may be anything
        return {} if value == true
        return { timeout: duration(name, value) } if value.is_a?(Numeric)
        return times(name, value) if value.is_a?(Hash) && !value.empty?

        raise ArgumentError, "#{name}: #{shown(value)} is neither true or false nor seconds: " \
                             "give one of them, such as 10, or a Hash such as " \
                             "{ timeout: 10, within: 30 }"
      end

      # @return [Hash{Symbol => Numeric}] those that are given
      def times(name, hash)
        strange = hash.keys.find { |key| !TIMES.include?(key) }
        unless strange.nil?
          raise ArgumentError, "#{name}: unknown key #{shown(strange)}: give some of " \
                               "#{TIMES.map(&:inspect).join(", ")}"
        end

        hash.compact.to_h { |key, value| [key, duration("#{name}[:#{key}]", value)] }
      end

      # @return [Symbol, nil] nil: not given
      def gap(name, value)
        return if value == 0 # rubocop:disable Style/NumericPredicate -- it may be anything
        return value if value == :close

        raise ArgumentError, "#{name}: #{shown(value)} is not :close: give that, or nothing"
      end

      # Takes an object that answers `[]` for Symbols.
      #
      # @param advice [String] what may be given
      # @return [#[]]
      def keyed(name, value, advice)
        case value
        when nil, true, Array, Method, Numeric, Proc, String, Symbol then nil
        else return value if value.respond_to?(:[])
        end

        # The value is not shown: it may be a key, or a passphrase.
        raise ArgumentError, "#{name}: an object of #{value.class} is no Hash: #{advice}"
      end

      # Keys that stand as Strings in a Hash that is asked for Symbols would be passed over.
      #
      # @param names [Array<Symbol>] those that would
      def no_strings(name, hash, names)
        return unless hash.respond_to?(:keys)

        keys = hash.keys
        keys.each do |key|
          next unless key.is_a?(String) && !hash[key].nil?
          next unless names.include?(key.to_sym) && hash[key.to_sym].nil?

          raise ArgumentError, "#{name}: the key #{key.inspect} must be the Symbol :#{key}"
        end
      end

      # Path as File.open takes it. The value is not shown: it may be a key.
      #
      # @return [String] frozen
      def path(name, value)
        text(name, value.respond_to?(:to_path) ? value.to_path : value, "path")
      end

      # Text that may be a secret, and is not shown.
      #
      # @return [String] frozen
      def text(name, value, kind = "String")
        return value.to_str.dup.freeze if value.respond_to?(:to_str)

        raise ArgumentError, "#{name}: an object of #{value.class} is no #{kind}"
      end

      # Host to listen on: as EventMachine has it, an empty one is every IPv4 interface.
      #
      # @return [String] UTF-8
      def host(value)
        host = value.to_str.b.force_encoding(Encoding::UTF_8) if value.respond_to?(:to_str)
        if host.nil? || host.include?("\0") || !host.valid_encoding?
          raise ArgumentError, "host: #{shown(value)} is no name or address: give a String " \
                               "such as \"127.0.0.1\", or \"\" for all of IPv4"
        end

        host.empty? ? "0.0.0.0" : host
      end

      # @return [Integer]
      def port(value)
        port = begin
          Integer(value)
        rescue StandardError
          raise ArgumentError, "port: #{shown(value)} is no number: " \
                               "give one from 0 to 65535 (0: the system chooses)"
        end
        return port if port.between?(0, 65_535) && (!value.is_a?(Numeric) || value == port)

        raise ArgumentError, "port: #{shown(value)} is no whole number from 0 to 65535: " \
                             "give one (0: the system chooses)"
      end

      # @return [String]
      def shown(value)
        text = value.inspect
        text.size > SHOWN ? "#{text[0, SHOWN]}..." : text
      end
    end
  end
end
