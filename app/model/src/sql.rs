//! The encoding of values as columns. sqlx has no derives for its `Any` driver, so two macros implement its
//! traits: ids, currencies and states are stored as text, times and amounts as integers.
//!
//! Text that does not parse is an error when the row is read.

/// Stores types that implement `Display` and `FromStr` as text columns.
#[macro_export]
macro_rules! text_columns {
    ($($type:ty),+ $(,)?) => {$(
        impl ::sqlx::Type<::sqlx::Any> for $type {
            fn type_info() -> ::sqlx::any::AnyTypeInfo {
                <str as ::sqlx::Type<::sqlx::Any>>::type_info()
            }
        }

        impl ::sqlx::Encode<'_, ::sqlx::Any> for $type {
            fn encode_by_ref(
                &self,
                buffer: &mut <::sqlx::Any as ::sqlx::Database>::ArgumentBuffer,
            ) -> Result<::sqlx::encode::IsNull, ::sqlx::error::BoxDynError> {
                let text = ::std::string::ToString::to_string(self);
                ::sqlx::Encode::<'_, ::sqlx::Any>::encode(text, buffer)
            }
        }

        impl<'r> ::sqlx::Decode<'r, ::sqlx::Any> for $type {
            fn decode(
                value: <::sqlx::Any as ::sqlx::Database>::ValueRef<'r>,
            ) -> Result<Self, ::sqlx::error::BoxDynError> {
                let text = <&str as ::sqlx::Decode<'r, ::sqlx::Any>>::decode(value)?;
                Ok(text.parse::<Self>()?)
            }
        }
    )+};
}

/// Stores types that convert from and into `i64` as integer columns.
#[macro_export]
macro_rules! integer_columns {
    ($($type:ty),+ $(,)?) => {$(
        impl ::sqlx::Type<::sqlx::Any> for $type {
            fn type_info() -> ::sqlx::any::AnyTypeInfo {
                <i64 as ::sqlx::Type<::sqlx::Any>>::type_info()
            }

            fn compatible(found: &::sqlx::any::AnyTypeInfo) -> bool {
                <i64 as ::sqlx::Type<::sqlx::Any>>::compatible(found)
            }
        }

        impl ::sqlx::Encode<'_, ::sqlx::Any> for $type {
            fn encode_by_ref(
                &self,
                buffer: &mut <::sqlx::Any as ::sqlx::Database>::ArgumentBuffer,
            ) -> Result<::sqlx::encode::IsNull, ::sqlx::error::BoxDynError> {
                ::sqlx::Encode::<'_, ::sqlx::Any>::encode(i64::from(*self), buffer)
            }
        }

        impl<'r> ::sqlx::Decode<'r, ::sqlx::Any> for $type {
            fn decode(
                value: <::sqlx::Any as ::sqlx::Database>::ValueRef<'r>,
            ) -> Result<Self, ::sqlx::error::BoxDynError> {
                <i64 as ::sqlx::Decode<'r, ::sqlx::Any>>::decode(value).map(Self::from)
            }
        }
    )+};
}
