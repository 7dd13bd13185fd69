# frozen_string_literal: true

require_relative "tls_options"

module EventMachine
  module WebSocket
    # Warnings of options whose names are nearly right. They are no errors: applications keep keys
    # of their own in the options.
    #
    # @api private
    module Spelling
      # The number of names that are warned of, each once. An application may make up more.
      MOST = 100

      # The longest name that is compared, in characters.
      LONGEST = 40

      private_constant :MOST, :LONGEST

      @warned = {}

      class << self
        # @param source [Object] the options as they came
        # @param given [Hash{Symbol => Object}] those that were found in them
        # @param known [Array<Symbol>] every option
        def check(source, given, known)
          # What is no Hash may answer anything to `keys`.
          return if !source.is_a?(Hash) || source.size == given.size

          unknown(source, known, given.keys) do |key|
            meant = closest(key, known - given.keys)
            "unknown option #{key.inspect}; did you mean #{meant.inspect}?" if meant
          end
        end

        # Checks the keys of `:tls_options`, all of which are EventMachine's, whatever is close.
        #
        # @param options [Object]
        def check_tls(options)
          return unless options.is_a?(Hash)

          known = TlsOptions::KNOWN
          unknown(options, known, known, :tls_options) do |key|
            meant = closest(key, known)
            advice = meant ? "did you mean #{meant.inspect}?" : "use #{known.map(&:inspect) * ", "}"
            "unknown option #{key.inspect} in :tls_options; #{advice}"
          end
        end

        private

        # Warns of each key that is not known and has not been warned of, where the block has a text
        # for it. A Hash may keep Strings and answer for Symbols.
        def unknown(options, known, answered, place = nil)
          keys = options.keys
          keys.each do |key|
            next if known?(key, known, answered) || @warned.key?([place, key])
            next if @warned.size >= MOST

            text = yield(key)
            @warned[[place, key]] = true
            warn("em-websocket: #{text}") if text
          end
        rescue ThreadError
          # In a trap amid another write to the same stream: the warning is lost.
          nil
        end

        def known?(key, known, answered)
          case key
          when Symbol then known.include?(key)
          when String then answered.any? { |name| name.to_s == key }
          else true
          end
        end

        # @return [Symbol, nil] the option that has all but a quarter of its letters, at most
        def closest(key, options)
          name = key.to_s
          return if name.size > LONGEST || !name.valid_encoding?

          require "did_you_mean/levenshtein"
          distances = options.to_h do |option|
            [option, DidYouMean::Levenshtein.distance(name, option.to_s)]
          end
          option, distance = distances.min_by(&:last)
          option if distance && distance <= (name.size / 4.0).ceil
        rescue LoadError
          nil
        end
      end
    end
  end
end
